// WeirYAML
