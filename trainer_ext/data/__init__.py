"""Data: files of texts and labels, read strictly, cleaned on request, and tokenized."""
