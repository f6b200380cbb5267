// Tests of WeirFiles.
