package main

import "context"

func (p *program) testMappings(context.Context, []string) error { return nil }
