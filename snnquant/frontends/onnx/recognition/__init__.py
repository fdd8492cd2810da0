"""Read the neurons of an unrolled graph off the coefficients of its steps."""
