import CWeirPage
import WeirHash

/// One file of the page for people: what the browser is given, as it was when the program was built. Constant.
package struct PageFile: Sendable {
    /// Its name, without a folder: `page.js`.
    package let name: String
    package let contentType: String
    package let bytes: [UInt8]
    /// For `ETag` and `If-None-Match`, with its quotes: changes when, and only when, the bytes do.
    package let tag: String

    private init(name: String, bytes: [UInt8]) {
        self.name = name
        self.bytes = bytes
        self.contentType = Self.contentType(of: name)
        self.tag = "\"\(ContentHash(of: bytes).shortHex)\""
    }

    /// The document itself.
    package static let document = PageFile.named("page.html")

    /// Nil for a name that is none of the page's.
    package static func named(_ name: String) -> PageFile? { Self.byName[name] }

    package static var all: [PageFile] { Self.byName.values.sorted { $0.name < $1.name } }

    private static let byName: [String: PageFile] = {
        var files: [String: PageFile] = [:]
        for index in 0... {
            guard let file = unsafe weir_page_file_at(index)?.pointee else { break }
            guard let name = unsafe file.name, let bytes = unsafe file.bytes else { continue }
            let text = unsafe String(cString: name)
            files[text] = PageFile(
                name: text, bytes: unsafe Array(UnsafeBufferPointer(start: bytes, count: file.count)))
        }
        return files
    }()

    /// By the name's end; browsers are told not to guess.
    private static func contentType(of name: String) -> String {
        switch name.split(separator: ".").last {
        case "html": "text/html; charset=utf-8"
        case "css": "text/css; charset=utf-8"
        case "js": "text/javascript; charset=utf-8"
        case "svg": "image/svg+xml"
        default: "application/octet-stream"
        }
    }
}
