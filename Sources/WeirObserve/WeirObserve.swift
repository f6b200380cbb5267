// WeirObserve
