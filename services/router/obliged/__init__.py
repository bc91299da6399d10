"""What a permit obliges to, carried out on one attempt: its prompt, its answer, who answers and how much."""
