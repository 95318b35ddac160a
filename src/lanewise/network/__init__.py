"""WHAT a network is: frozen descriptions, with no arithmetic but the plain NumPy evaluate."""
