// WeirHash
