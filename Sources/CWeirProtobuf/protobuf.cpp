#include "CWeirProtobuf.h"
#include <google/protobuf/descriptor.h>
int weir_pb_placeholder(void) { return google::protobuf::DescriptorPool::generated_pool() != nullptr; }
