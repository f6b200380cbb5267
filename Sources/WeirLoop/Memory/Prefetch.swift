import CWeirShims
package import WeirBase

extension Footprint {
    /// Has the processor fetch all that is noted. Returns at once.
    package func prefetch() {
        for index in self.places.indices {
            let place = self.places[index]
            if place == 0 { return }
            weir_prefetch((place << 8) >> 8, UInt32(truncatingIfNeeded: place >> UInt(Self.linesShift)))
        }
    }
}
