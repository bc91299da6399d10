"""Which deployments to try, in which order, and why. Pure: what is known goes in, an order with reasons comes out."""
