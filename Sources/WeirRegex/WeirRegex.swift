// WeirRegex
