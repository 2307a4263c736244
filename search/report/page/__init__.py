"""report.html: the whole run on one page that loads nothing."""
