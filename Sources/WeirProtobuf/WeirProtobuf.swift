// WeirProtobuf
