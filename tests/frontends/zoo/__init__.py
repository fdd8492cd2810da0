"""A zoo of spiking nets in real frameworks, with what each of their neurons is."""
