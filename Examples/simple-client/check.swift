import WeirBase
import WeirXDS
import XDSClient

/// Looks at a resource before it is taken: its fields can be read, and it bears the name that it was sent under. A real
/// client would decode the message here with its generated code, and throw what it finds wrong.
@Sendable func check(_ resource: XDSResource) throws(XDSClient.Rejection) {
    let inner: String?
    do throws(WireError) {
        inner = try name(in: resource)
    } catch {
        throw XDSClient.Rejection("not readable as \(resource.messageURL): \(error)")
    }
    if let inner, inner != resource.name {
        throw XDSClient.Rejection("calls itself \"\(inner)\"; name and content must agree")
    }
}

/// What a resource calls itself; nil for types without a name of their own.
private func name(in resource: XDSResource) throws(WireError) -> String? {
    let bytes = resource.value.span
    var name: String?
    var reader = WireReader(ByteRange(offset: 0, count: bytes.count))
    while let field = try reader.next(in: bytes) {
        if field.number == resource.type.nameField { name = bytes.string(try field.bytes()) }
    }
    return name
}
