#!/bin/sh
# Makes the test certificates anew, valid for a hundred years. Run in this folder. They protect nothing.
set -eu
cd "$(dirname "$0")"
days=36500

ca() { # name
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days $days -sha256 \
        -subj "/CN=weir test $1" -addext "keyUsage=critical,keyCertSign,cRLSign" -keyout "$1.key" -out "$1.crt"
}

leaf() { # name, issuer, subject alternative names, days
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -sha256 -subj "/O=weir test/CN=$1" \
        -keyout "$1.key" -out "$1.csr"
    printf 'subjectAltName=%s\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth,clientAuth\n' "$3" > "$1.ext"
    openssl x509 -req -in "$1.csr" -CA "$2.crt" -CAkey "$2.key" -CAcreateserial -days "$4" -sha256 \
        -extfile "$1.ext" -out "$1.crt"
    rm "$1.csr" "$1.ext"
}

ca ca
ca other-ca
leaf server ca "DNS:cp.example.com,DNS:localhost,IP:127.0.0.1" $days
leaf envoy ca "URI:spiffe://prod/ns/web/sa/envoy,DNS:envoy.web.example.com" $days
leaf stranger other-ca "URI:spiffe://prod/ns/web/sa/envoy" $days
leaf nameless ca "email:nobody@example.com" $days
leaf expired ca "DNS:cp.example.com" 0
openssl ec -in server.key -aes256 -passout pass:secret -out encrypted.key
rm -f ./*.srl
