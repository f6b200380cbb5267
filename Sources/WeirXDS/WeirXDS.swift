// WeirXDS
