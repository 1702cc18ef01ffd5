package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kgo"
)

// inflater is a kgo.Decompressor with a limit, for one goroutine: between two resets it gives maxDecompressed bytes at most
// (41 KB of zstd can be 300 MB). What it gives lies in a buffer that the next reset reuses.
type inflater struct {
	buf  []byte // kept between resets
	free []byte // what is left of buf, with length 0
	left int    // bytes that it may still give
	gzip *gzip.Reader
	lz4  *lz4.Reader
	zstd *zstd.Decoder
}

const keepInflated = 8 << 20 // bytes of buffer kept

func (f *inflater) reset() {
	if spent := min(maxDecompressed-f.left, keepInflated); f.left > 0 && spent > cap(f.buf) {
		f.buf = make([]byte, 0, spent) // one buffer for all batches of such an answer
	}
	if cap(f.buf) > keepInflated {
		f.buf = nil
	}
	f.free, f.left = f.buf, maxDecompressed
}

// Decompress answers the inflated bytes, or an error that wraps kgo.ErrMaxDecompress where they pass the limit.
func (f *inflater) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	var out []byte
	var err error
	switch codec {
	case kgo.CodecNone:
		return src, nil
	case kgo.CodecGzip:
		out, err = f.gunzip(src)
	case kgo.CodecSnappy:
		out, err = f.snappy(src)
	case kgo.CodecLz4:
		if f.lz4 == nil {
			f.lz4 = lz4.NewReader(nil)
		}
		f.lz4.Reset(bytes.NewReader(src))
		out, err = f.read(f.lz4)
	case kgo.CodecZstd:
		out, err = f.unzstd(src)
	default:
		return nil, fmt.Errorf("compression codec %d is unknown", codec)
	}
	if err != nil {
		return nil, err
	}
	f.left -= len(out)
	if len(out) <= cap(f.free) {
		f.free = f.free[len(out):len(out):cap(f.free)]
		return out, nil
	}
	if cap(out) > cap(f.buf) {
		f.buf = out[:0]
	}
	f.free = out[len(out):]
	return out, nil
}

func (f *inflater) gunzip(src []byte) ([]byte, error) {
	if f.gzip == nil {
		f.gzip = new(gzip.Reader)
	}
	if err := f.gzip.Reset(bytes.NewReader(src)); err != nil {
		return nil, err
	}
	return f.read(f.gzip)
}

func (f *inflater) read(r io.Reader) ([]byte, error) {
	out := bytes.NewBuffer(f.free)
	n, err := out.ReadFrom(io.LimitReader(r, int64(f.left)+1))
	if err != nil {
		return nil, err
	}
	if n > int64(f.left) {
		return nil, kgo.ErrMaxDecompress
	}
	return out.Bytes(), nil
}

func (f *inflater) unzstd(src []byte) ([]byte, error) {
	if f.zstd == nil {
		var err error
		f.zstd, err = zstd.NewReader(nil, zstd.WithDecoderLowmem(true), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxDecompressed))
		if err != nil {
			return nil, err
		}
	}
	out, err := f.zstd.DecodeAll(src, f.free)
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) || (err == nil && len(out) > f.left) {
		return nil, kgo.ErrMaxDecompress
	}
	return out, err
}

// snappy reads a bare block, or the framing of the Java client (xerial): a head of 16 bytes, then blocks behind their size.
func (f *inflater) snappy(src []byte) ([]byte, error) {
	const magic, head = "\x82SNAPPY\x00", 16
	if len(src) <= head || string(src[:len(magic)]) != magic {
		return f.block(f.free, src)
	}
	out := f.free
	for src = src[head:]; len(src) > 0; {
		if len(src) < 4 {
			return nil, io.ErrUnexpectedEOF
		}
		n := int64(binary.BigEndian.Uint32(src))
		if src = src[4:]; n > int64(len(src)) {
			return nil, io.ErrUnexpectedEOF
		}
		var err error
		if out, err = f.block(out, src[:n]); err != nil {
			return nil, err
		}
		src = src[n:]
	}
	return out, nil
}

// block appends one inflated block to out; the block's own head says how large it is.
func (f *inflater) block(out, src []byte) ([]byte, error) {
	n, err := s2.DecodedLen(src)
	if err != nil {
		return nil, err
	}
	if len(out)+n > f.left {
		return nil, kgo.ErrMaxDecompress
	}
	if cap(out)-len(out) < n {
		grown := make([]byte, len(out), max(len(out)+n, 2*cap(out)))
		copy(grown, out)
		out = grown
	}
	if _, err := s2.Decode(out[len(out):len(out)+n], src); err != nil {
		return nil, err
	}
	return out[:len(out)+n], nil
}
