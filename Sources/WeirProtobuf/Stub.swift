package struct ProtobufError: Error, CustomStringConvertible { package var description: String }
package final class DescriptorSet: Sendable {
    package init(bytes: [UInt8]) throws(ProtobufError) {}
    package func encode(json: String, typeURL: String) throws(ProtobufError) -> [UInt8] { [] }
    package func json(typeURL: String, bytes: [UInt8], redacting: Bool) throws(ProtobufError) -> String { "" }
    package func knows(typeURL: String) -> Bool { false }
}
