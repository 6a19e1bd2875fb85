"""``xueliang accept``: the acceptance checks that a machine can run, as a signed report."""
