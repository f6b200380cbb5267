package struct HTTPServerError: Error, CustomStringConvertible { package var description: String }
package struct HTTPRequest: Sendable { package var method: String; package var path: String; package var query: [(String, String)] ; package var body: [UInt8] }
package final class HTTPResponder: Sendable { package func respond(status: Int, contentType: String, headers: [(String, String)], body: [UInt8]) {} }
package final class HTTPServer: Sendable { package init(address: String, handler: @escaping @Sendable (HTTPRequest, HTTPResponder) -> Void) throws(HTTPServerError) {}
 package func stop() {} }
