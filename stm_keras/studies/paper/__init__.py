"""The paper's Figs. 3 and 4 on virtual experiments, with statistics."""
