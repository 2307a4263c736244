"""Who listens to a run and shows it: the terminal, TensorBoard, Optuna."""
