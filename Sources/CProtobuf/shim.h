/* libprotobuf is C++: CWeirProtobuf includes its headers; this target only carries the link flags. */
