/// The longest piece of a client's own text that goes into a reason, in characters.
let clientTextMax = 120

/// The longest message about a refused stream, in characters: it travels in a header.
let refusalTextMax = 2_000

/// A text that a client had a hand in, cut to what a message can bear.
func clipped(_ text: String, to max: Int = clientTextMax) -> String {
    text.count <= max ? text : text.prefix(max) + "…"
}
