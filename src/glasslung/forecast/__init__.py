"""What is likely next: every model that carries a lung to another age, asked in the same words."""
