"""One module per experiment, with the case files it is measured on."""
