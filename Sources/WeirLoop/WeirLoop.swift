// WeirLoop
