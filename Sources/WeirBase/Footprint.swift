/// Addresses of what a push to one stream touches first, so that the processor can be told to fetch it while the streams
/// before are served (`prefetch` in WeirLoop): what ten thousand connections touch is in no cache, and to wait for it takes
/// half the time of a push.
///
/// Hints: never read through, so that an address whose object is gone costs a fetch and no more.
@safe package struct Footprint: BitwiseCopyable {
    /// Each an address, and in the byte above it how many cache lines from there; zeros behind the last.
    package private(set) var places: [10 of UInt] = [10 of UInt](repeating: 0)

    /// Where the number of lines begins: above any address that a program has.
    package static let linesShift = 56

    package init() {}

    /// The first two cache lines of an object.
    package mutating func add(_ object: AnyObject) { unsafe self.add(Unmanaged.passUnretained(object).toOpaque()) }

    /// Up to 255 cache lines of 64 bytes. Beyond ten places the others are left out.
    package mutating func add(_ address: UnsafeRawPointer, lines: UInt8 = 2) {
        guard let index = self.places.indices.first(where: { self.places[$0] == 0 }) else { return }
        let mask = UInt(1) << UInt(Self.linesShift) - 1
        self.places[index] = UInt(bitPattern: address) & mask | UInt(lines) << UInt(Self.linesShift)
    }
}
