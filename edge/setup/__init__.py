"""``xueliang setup``: from a bare box to settings, passwords, stamped disks and a first account."""
