package import WeirProtobuf
package import WeirBase
package struct LoadedResource: Sendable { package var typeURL: String; package var name: String; package var any: [UInt8] }
package enum FileLoad: Sendable { case loaded([LoadedResource]); case failed([Diagnostic]) }
package func loadResources(path: String, descriptors: DescriptorSet) -> FileLoad { .failed([]) }
