// WeirTLS
