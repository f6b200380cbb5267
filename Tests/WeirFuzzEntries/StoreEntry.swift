import WeirBase
import WeirStore
import WeirXDS

/// A record of the store whose checksum fits, which does not make it right. First byte `t`: of a type; `s`: the rest is
/// a sealed value, to be opened; any other: of a resource.
func fuzzStore(_ input: [UInt8]) throws(FuzzFinding) {
    var input = FuzzInput(input)
    switch input.byte() {
    case UInt8(ascii: "t"):
        guard let (key, record) = try? TypeRecord.decode(input.rest()) else { return }
        let again = try? TypeRecord.decode(record.encoded(key))
        try check(again?.key == key, "a type's record is of another type when it is written and read again")
        try check(
            again?.record.encoded(key) == record.encoded(key), "a type's record changes when it is written and read")
    case UInt8(ascii: "s"):
        let key = input.bytes(Int(input.byte()))
        let value = input.rest()
        guard let body = Sealed.open(value, key: key) else { return }
        try check(Sealed.seal(body, key: key) == value, "a value was opened that is sealed otherwise")
    default:
        guard let record = try? ResourceRecord(decoding: input.rest()) else { return }
        let again = try? ResourceRecord(decoding: record.encoded)
        try check(again?.encoded == record.encoded, "a resource's record changes when it is written and read")
    }
}
