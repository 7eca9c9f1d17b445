"""Parts of a prediction: its queries, the network's work on them, what is written and told."""
