"""Who depends on whom, and what that saves: families, proof, tree, usage. Pure."""
