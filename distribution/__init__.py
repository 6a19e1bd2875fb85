"""What is made for those who install the box: the Debian package, manual pages, SBOM, notices."""
