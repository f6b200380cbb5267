// WeirRules
