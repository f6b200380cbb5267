/// Addresses of what a push to one stream touches first, so that the processor can be told to fetch it while the streams
/// before are served (`prefetch` in WeirLoop): what ten thousand connections touch is in no cache, and to wait for it takes
/// half the time of a push.
///
/// Hints: never read through, so that an address whose object is gone costs a fetch and no more.
@safe package struct Footprint: BitwiseCopyable {
    /// Zeros behind the last.
    package private(set) var addresses: [6 of UInt] = [6 of UInt](repeating: 0)

    package init() {}

    package mutating func add(_ object: AnyObject) { unsafe self.add(Unmanaged.passUnretained(object).toOpaque()) }

    /// Beyond six addresses the others are left out.
    package mutating func add(_ address: UnsafeRawPointer) {
        guard let place = self.addresses.indices.first(where: { self.addresses[$0] == 0 }) else { return }
        self.addresses[place] = UInt(bitPattern: address)
    }
}
