// WeirFiles
