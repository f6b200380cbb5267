import WeirBase
import WeirHTTP2

/// A gRPC byte stream, whole and in pieces: both give the same messages and the same end, and none above the bound.
///
/// First byte: the lowest bit is gzip. Second byte: the size of the pieces, from one.
func fuzzDeframing(_ input: [UInt8]) throws(FuzzFinding) {
    var input = FuzzInput(input)
    let encoding: MessageEncoding = input.byte() & 1 == 1 ? .gzip : .identity
    let step = Int(input.byte()) + 1
    let stream = input.rest()
    let whole = try deframed(stream, step: stream.count, encoding)
    let pieces = try deframed(stream, step: step, encoding)
    try check(whole.messages == pieces.messages, "other messages in pieces of \(step)")
    try check(whole.failure == pieces.failure, "another end in pieces of \(step)")
    try check(whole.failure != nil || whole.left == pieces.left, "another rest in pieces of \(step)")
    _ = GRPCTimeout.parse(stream)
    let text = StatusMessageEncoding.decode(stream)
    if StatusMessageEncoding.encode(text, bytesMax: .max).count <= 4096 {
        try check(
            StatusMessageEncoding.decode(StatusMessageEncoding.encode(text)) == text, "grpc-message changes: \(text)")
    }
    try check(StatusMessageEncoding.encode(text, bytesMax: 7).count <= 7, "grpc-message is over its bound")
}

private let messageBytesMax = 5_000

private func deframed(
    _ stream: [UInt8], step: Int, _ encoding: MessageEncoding
) throws(FuzzFinding) -> (messages: [[UInt8]], failure: GRPCFailure?, left: Int) {
    var deframer = MessageDeframer(messageBytesMax: messageBytesMax)
    deframer.encoding = encoding
    var messages: [[UInt8]] = []
    var start = 0
    while start < stream.count {
        let piece = Array(stream[start..<min(stream.count, start + step)])
        start += piece.count
        do throws(GRPCFailure) {
            try deframe(piece, with: &deframer, into: &messages)
        } catch {
            return (messages, error, 0)
        }
        try check(deframer.partialCount <= messageBytesMax + 5, "\(deframer.partialCount) bytes are held")
    }
    try check(messages.allSatisfy { $0.count <= messageBytesMax }, "a message is over the bound")
    return (messages, nil, deframer.partialCount)
}

private func deframe(
    _ piece: [UInt8], with deframer: inout MessageDeframer, into messages: inout [[UInt8]]
) throws(GRPCFailure) {
    var position = 0
    while true {
        switch try deframer.next(in: piece.span, from: &position) {
        case .nothing: return
        case .inPlace(let range): messages.append(Array(piece[range.offset..<range.end]))
        case .gathered(let message): messages.append(message)
        }
    }
}
