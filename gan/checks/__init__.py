"""What is checked before work begins: the machine, and what a training asks for."""
