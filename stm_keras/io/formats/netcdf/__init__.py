"""NetCDF and Zarr, through xarray."""
