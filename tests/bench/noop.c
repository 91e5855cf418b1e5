/* The floor of starting anything: a static program that does nothing. */

int main(void)
{
	return 0;
}
