"""Quasiparticle interference: q from the Fourier transform, and k(V)."""
