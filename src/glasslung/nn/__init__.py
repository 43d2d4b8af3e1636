"""What two or more methods use: likelihoods, blocks, backbones, ladder. Knows no data, no training."""
