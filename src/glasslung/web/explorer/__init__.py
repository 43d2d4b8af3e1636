"""The latent explorer: pictures laid out by what a model sees in them."""
