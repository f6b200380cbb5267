// Tests of WeirProtobuf.
