// WeirConfig
