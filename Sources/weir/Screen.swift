import Glibc

/// What kind of place output goes to.
struct Screen: Equatable {
    var isColoured = false

    /// Colours for people at a terminal that can show them and who have not declined (https://no-color.org).
    static func standardOutput(environment: [String: String]) -> Screen {
        let isDeclined = !(environment["NO_COLOR"] ?? "").isEmpty || environment["TERM"] == "dumb"
        return Screen(isColoured: isatty(STDOUT_FILENO) == 1 && !isDeclined)
    }

    func paint(_ text: String, _ tone: Tone) -> String {
        guard self.isColoured, let code = tone.code, !text.isEmpty else { return text }
        return "\u{1B}[\(code)m\(text)\u{1B}[0m"
    }
}

/// How a piece of text is meant.
enum Tone {
    case plain, title, good, doubtful, bad, faint

    fileprivate var code: Int? {
        switch self {
        case .plain: nil
        case .title: 1
        case .good: 32
        case .doubtful: 33
        case .bad: 31
        case .faint: 2
        }
    }
}

/// Rows of text in aligned columns.
struct Table {
    struct Cell {
        var text: String
        var tone: Tone

        init(_ text: String, _ tone: Tone = .plain) {
            self.text = printable(text.isEmpty ? "-" : text)
            self.tone = tone
        }
    }

    private var rows: [[Cell]]

    init(_ header: [String]) { self.rows = [header.map { Cell($0, .title) }] }

    var isEmpty: Bool { self.rows.count == 1 }

    mutating func add(_ row: [Cell]) { self.rows.append(row) }

    mutating func add(_ row: [String]) { self.add(row.map { Cell($0) }) }

    /// Painted after it was measured: colours have no width.
    func text(_ screen: Screen) -> String {
        var widths: [Int] = []
        for row in self.rows {
            for (column, cell) in row.enumerated() {
                if column == widths.count { widths.append(0) }
                widths[column] = max(widths[column], cell.text.count)
            }
        }
        return self.rows.map { row in
            let cells = row.enumerated().map { column, cell in
                let fill = column == row.count - 1 ? 0 : widths[column] - cell.text.count
                return screen.paint(cell.text, cell.tone) + String(repeating: " ", count: fill)
            }
            return cells.joined(separator: "  ") + "\n"
        }.joined()
    }
}

/// Text that others wrote, such that a terminal shows it and does nothing else: control characters, and what turns the
/// direction of writing round, are spelled out.
func printable(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: isActive) else { return text }
    var result = ""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\n": result += "\\n"
        case "\t": result += "\\t"
        case _ where isActive(scalar): result += "\\u{\(String(scalar.value, radix: 16))}"
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result
}

private func isActive(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x00..<0x20, 0x7F..<0xA0, 0x061C, 0x200B...0x200F, 0x2028...0x202E, 0x2060...0x206F, 0xFEFF: true
    default: false
    }
}

/// A span for people: `42s`, `3m20s`, `5h12m`, `3d4h`.
func spanText(seconds: Int) -> String {
    switch seconds {
    case ..<60: "\(seconds)s"
    case ..<3_600: "\(seconds / 60)m\(seconds % 60)s"
    case ..<86_400: "\(seconds / 3_600)h\(seconds / 60 % 60)m"
    default: "\(seconds / 86_400)d\(seconds / 3_600 % 24)h"
    }
}
