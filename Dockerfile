# Two stages: a static binary, and an image that holds nothing else but the CA
# certificates and a directory the service user may write.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=unknown
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/ticketgate ./cmd/ticketgate \
 && mkdir -p /out/data

FROM scratch
LABEL org.opencontainers.image.title="ticketgate" \
      org.opencontainers.image.description="Self-hosted mail gateway: mail becomes tickets, replies find theirs" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/ticketgate /ticketgate
COPY --from=build --chown=65532:65532 /out/data /var/lib/ticketgate
USER 65532:65532
VOLUME /var/lib/ticketgate
# SMTP, submission with TLS from the start and with STARTTLS, HTTP API, and
# metrics with health; map them to 25, 465, 587 and whatever you like.
# Use host networking or the real client address is lost to SMTP.
EXPOSE 2525 2465 2587 8025 9464
HEALTHCHECK --interval=10s --timeout=5s CMD ["/ticketgate", "health", "ready"]
ENTRYPOINT ["/ticketgate"]
CMD ["serve", "--config", "/etc/ticketgate/ticketgate.toml"]
