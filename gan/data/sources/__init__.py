"""Where rows come from: one file a source, and the registry that names them."""
